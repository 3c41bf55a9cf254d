"""The console: one self-contained report page, and a small loopback server that shows it.

`report.render` turns the numbers of a replay (`report_data.Report`) into one HTML file without scripts and without
network: what a policy was worth, when it acted and why, what drifted, what a rollout decided. `page.create_page`
is the web application behind `mainspring up`. Everything else here is pure drawing: `svg` (escaped elements), `scales`
(numbers and dates to pixels), `axes`, and one module for each kind of plot.

Start at `report_data.Report`, then read `report.render`.
"""
