"""From a unit down to pixels.

`projection` is where one enters: it takes the mirror (`mirror`, a chain undone stage by stage, as
the paper describes it) or runs the module under rules (`vjp`). `round_trip` keeps what stands
between the stages, `blank` says where a signal was lost, `attribution` is captum's door.
"""
