"""Full training of a design, on the machine in front of the user: `piip-explore train`.

Needs the packages of `piip-explore[train]`. `settings` reads the file, `tasks` say what is trained and how it is
judged, `loop` trains, `folder` keeps what must survive a kill, `launch` starts one process per device.
"""
