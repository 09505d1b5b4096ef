"""What scripts/bench runs: scenarios in turns, measured from outside, counted by content. Python's standard library only.

scenarios   what is compared with what (data)
systems     how each program is started
processes   children: start, watch, stop, account
scratch     fresh directories, and when they go
measuring   one run, from start to verified lines
bounds      what the parts of the work cost alone
figures     medians and spreads (pure)
report      JSON and Markdown (pure)
"""
