// Layout of the flow: columns of nodes whose heights, and links whose widths, are watts. Numbers in, numbers out.

const ROUNDS = 8;

const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);

// nodes: {id, layer}, links: {from, to, power_watts}; both are returned with their places.
export function layout(nodes, links, { width, height, thick, gap }) {
  const placed = new Map(nodes.map((node) => [node.id, { ...node, into: [], out: [] }]));
  const drawn = links.map((link) => ({ ...link, source: placed.get(link.from), target: placed.get(link.to) }));
  for (const link of drawn) {
    link.source.out.push(link);
    link.target.into.push(link);
  }
  const watts = (list) => sum(list, (link) => link.power_watts);
  for (const node of placed.values()) node.watts = Math.max(watts(node.into), watts(node.out));
  const layers = [...new Set(nodes.map((node) => node.layer))].sort((a, b) => a - b);
  const columns = layers.map((layer) => [...placed.values()].filter((node) => node.layer === layer));
  const room = (column) => Math.max(height * 0.35, height - gap * (column.length - 1));
  const scale = Math.min(...columns.map((column) => room(column) / sum(column, (node) => node.watts)));
  columns.forEach((column, at) => {
    const x = columns.length > 1 ? (at * (width - thick)) / (columns.length - 1) : 0;
    const between = column.length > 1 ? Math.min(gap, (height - scale * sum(column, (n) => n.watts)) / (column.length - 1)) : 0;
    let y = 0;
    for (const node of column) {
      Object.assign(node, { x, y, height: node.watts * scale, between });
      y += node.height + between;
    }
  });
  for (let round = 0; round < ROUNDS; round += 1) {
    const weight = 0.9 ** round;
    for (const column of columns) pull(column, (node) => (node.into.length ? node.into : []), (link) => link.source, weight, height);
    for (const column of [...columns].reverse()) pull(column, (node) => node.out, (link) => link.target, weight, height);
  }
  for (const node of placed.values()) {
    for (const [list, far, name] of [[node.out, "target", "y0"], [node.into, "source", "y1"]]) {
      list.sort((a, b) => a[far].y - b[far].y || a[far].x - b[far].x);
      let y = node.y;
      for (const link of list) {
        link.width = link.power_watts * scale;
        link[name] = y + link.width / 2;
        y += link.width;
      }
    }
  }
  return { nodes: [...placed.values()], links: drawn };
}

const middle = (node) => node.y + node.height / 2;

// Move each node of a column towards what it is linked to, then push apart those that overlap. Their order stays.
function pull(column, linksOf, far, weight, height) {
  for (const node of column) {
    const links = linksOf(node);
    if (!links.length) continue;
    const aim = sum(links, (link) => middle(far(link)) * link.power_watts) / sum(links, (link) => link.power_watts);
    node.y += (aim - middle(node)) * weight;
  }
  let least = 0;
  for (const node of column) {
    node.y = Math.max(node.y, least);
    least = node.y + node.height + node.between;
  }
  let most = height;
  for (const node of [...column].reverse()) {
    node.y = Math.min(node.y, most - node.height);
    most = node.y - node.between;
  }
}
