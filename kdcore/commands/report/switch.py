"""Whether a run makes a report by itself."""

from kd_report.switch import NO_REPORT, reports_are_on

__all__ = ["NO_REPORT", "reports_are_on"]
