"""Words: what a report says, in English and Korean, and how it writes numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

from kcloud_exporter.export.report.asked import ReportRequest

_INCOMPLETE_EN: Final = (
    "Incomplete: {percent} of nodes and time were measured ({clusters}). All totals are lower bounds; in tinted "
    "parts of the charts something is unknown."
)
_INCOMPLETE_KO: Final = (
    "불완전: 노드와 시간의 {percent}만 측정되었습니다({clusters}). 모든 합계는 하한값이며, 그래프의 옅은 붉은색 "
    "구간에는 알 수 없는 값이 있습니다."
)
_METHOD_EN: Final = (
    "Energies come from the exporter's counters. Cost and emissions of all energy are the energy of each step times "
    "the price (and carbon intensity) of its site then; those of namespaces come from counters of their own. The PUE "
    "is facility energy over IT energy while both were known, and unknown otherwise. What is unknown is a gap in a "
    "chart and the word “unknown” in a table; it is never counted as nought."
)
_METHOD_KO: Final = (
    "에너지는 exporter의 카운터에서 가져옵니다. 전체 비용과 배출량은 각 구간의 에너지에 해당 사이트의 그 시점 단가"
    "(및 탄소 집약도)를 곱한 값이며, 네임스페이스별 값은 별도의 카운터에서 가져옵니다. PUE는 양쪽을 모두 알 수 "
    "있었던 동안의 시설 에너지 ÷ IT 에너지이며, 그렇지 않으면 미상입니다. 알 수 없는 값은 그래프에서는 빈 구간으로, "
    "표에서는 “미상”으로 표시하며 0으로 계산하지 않습니다."
)
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "daily": ("Daily energy report", "일간 에너지 보고서"),
    "weekly": ("Weekly energy report", "주간 에너지 보고서"),
    "monthly": ("Monthly energy report", "월간 에너지 보고서"),
    "custom": ("Energy report", "에너지 보고서"),
    "all clusters": ("all clusters", "모든 클러스터"),
    "unknown": ("unknown", "미상"),
    "energy": ("Energy", "에너지"),
    "mean power": ("Mean power", "평균 전력"),
    "peak power": ("Peak power", "최대 전력"),
    "pue": ("PUE", "PUE"),
    "cost": ("Cost", "비용"),
    "emissions": ("Emissions", "탄소 배출량"),
    "completeness": ("Completeness", "완전성"),
    "change": ("Change", "증감"),
    "against": ("against the period before", "이전 기간 대비"),
    "of IT energy": ("of the IT energy, at the tariff", "IT 에너지 기준, 요금제 적용"),
    "co2": ("of the IT energy", "IT 에너지 기준"),
    "measured part": ("of nodes and time measured", "측정된 노드·시간 비율"),
    "mean of steps": ("of what is known", "알려진 구간 기준"),
    "step mean": ("highest mean of {step}", "{step} 평균의 최댓값"),
    "facility over it": ("facility over IT energy", "시설 에너지 ÷ IT 에너지"),
    "static": ("configured constant", "설정된 상수"),
    "from counters": ("from the energy counters", "에너지 카운터 기준"),
    "incomplete": (_INCOMPLETE_EN, _INCOMPLETE_KO),
    "not over": (
        "The period is not over yet: numbers are those up to {now}.",
        "기간이 아직 끝나지 않았습니다. {now}까지의 값입니다.",
    ),
    "gap": ("{time} were not integrated into the counters.", "{time} 동안은 카운터에 적산되지 않았습니다."),
    "power over time": ("Power over time, by component", "구성 요소별 전력 추이"),
    "energy per hour": ("Energy per hour, by cluster", "시간별 에너지 (클러스터별)"),
    "energy per day": ("Energy per day, by cluster", "일별 에너지 (클러스터별)"),
    "energy per week": ("Energy per week, by cluster", "주별 에너지 (클러스터별)"),
    "top namespaces": ("Namespaces that used most", "에너지 사용 상위 네임스페이스"),
    "pue over time": ("PUE over time", "PUE 추이"),
    "cost over time": ("Cost", "비용"),
    "emissions over time": ("Emissions", "탄소 배출량"),
    "clusters": ("Clusters", "클러스터"),
    "nodes": ("Nodes that used most", "에너지 사용 상위 노드"),
    "accelerators": ("Accelerators", "가속기"),
    "namespaces": ("Namespaces", "네임스페이스"),
    "cluster": ("Cluster", "클러스터"),
    "namespace": ("Namespace", "네임스페이스"),
    "node": ("Node", "노드"),
    "site": ("Site", "사이트"),
    "model": ("Model", "모델"),
    "vendor": ("Vendor", "제조사"),
    "kind": ("Kind", "종류"),
    "count": ("Devices", "장치 수"),
    "share": ("Share", "비율"),
    "utilization": ("Mean use", "평균 사용률"),
    "time": ("Time", "시각"),
    "total": ("Total", "합계"),
    "not attributed": ("not attributed", "미귀속"),
    "summary": ("Summary", "요약"),
    "power": ("Power", "전력"),
    "about": ("About this report", "보고서 정보"),
    "nothing": ("Nothing is known of this.", "알려진 값이 없습니다."),
    "cpu": ("CPU", "CPU"),
    "memory": ("Memory", "메모리"),
    "gpu": ("GPU", "GPU"),
    "npu": ("NPU", "NPU"),
    "tpu": ("TPU", "TPU"),
    "other": ("Other", "기타"),
    "complete strip": ("Measured part of nodes in each step", "구간별 측정 노드 비율"),
    "method": (_METHOD_EN, _METHOD_KO),
}
_WEEKDAYS: Final = (("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), ("월", "화", "수", "목", "금", "토", "일"))


class Words:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self._at = 1 if language == "ko" else 0
        self.language = language

    def __call__(self, key: str, **values: str) -> str:
        """What a report says for a key."""
        said = _WORDS[key][self._at]
        return said.format(**values) if values else said

    def weekday(self, day: date) -> str:
        """A day of the week, short."""
        return _WEEKDAYS[self._at][day.weekday()]

    def day(self, day: date) -> str:
        """A day, for people."""
        return f"{day.year}년 {day.month}월 {day.day}일" if self._at else f"{day.day} {day.strftime('%B %Y')}"

    def window(self, request: ReportRequest) -> str:
        """The days of a report."""
        last = request.after - timedelta(days=1)
        if request.template == "monthly":
            return f"{last.year}년 {last.month}월" if self._at else last.strftime("%B %Y")
        if request.first == last:
            return f"{self.day(last)} ({self.weekday(last)})"
        return f"{self.day(request.first)} – {self.day(last)}"

    def kwh(self, joules: float | None) -> str:
        """An energy with its unit."""
        if joules is None or math.isnan(joules):
            return self("unknown")
        kwh = joules / 3.6e6
        if 0 < kwh < 0.0005:
            return "< 0.001 kWh"  # little is not nothing
        return f"{kwh / 1e3:,.2f} MWh" if kwh >= 1e5 else f"{kwh:,.1f} kWh" if kwh >= 10 else f"{kwh:,.3f} kWh"

    def watts(self, watts: float | None) -> str:
        """A power with its unit."""
        if watts is None or math.isnan(watts):
            return self("unknown")
        return f"{watts / 1e3:,.2f} kW" if watts >= 1e3 else f"{watts:,.0f} W"

    def grams(self, grams: float | None) -> str:
        """A mass of CO2 with its unit."""
        if grams is None or math.isnan(grams):
            return self("unknown")
        if 0 < grams < 0.5:
            return "< 1 g"
        return (
            f"{grams / 1e6:,.2f} t" if grams >= 1e7 else f"{grams / 1e3:,.2f} kg" if grams >= 1e3 else f"{grams:,.0f} g"
        )

    def money(self, amount: float | None, currency: str) -> str:
        """An amount with its currency."""
        if amount is None or math.isnan(amount):
            return self("unknown")
        whole = currency in ("KRW", "JPY")
        if 0 < amount < (0.5 if whole else 0.005):
            return f"< {1 if whole else 0.01} {currency}"
        return f"{amount:,.0f} {currency}" if whole or amount >= 1e5 else f"{amount:,.2f} {currency}"

    def percent(self, ratio: float | None) -> str:
        """A part of a whole. What is not all is never rounded up to all."""
        if ratio is None or math.isnan(ratio):
            return self("unknown")
        return "100%" if ratio >= 1 else f"{math.floor(ratio * 1000) / 10:.1f}%"
