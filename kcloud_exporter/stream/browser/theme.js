// The colours that were chosen here before, set before anything is drawn. Without a choice the system's count.
"use strict";
try {
  const chosen = localStorage.getItem("kcloud-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* storage is off: the system's colours it is */ }
