"""Report: a day, a week, a month or any window on a few pages, with charts."""
