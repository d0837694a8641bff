"""Many tasks at a time: in processes of this machine, or on the machines of a Ray cluster.

Takes: tasks, each a plain function of a module with JSON arguments that reads and writes files.
Gives: their results, small JSON; `run_tasks` with a `Stage` knows which are done.
Source: docs/distributed.md; Moritz et al. 2018, Ray.
"""
