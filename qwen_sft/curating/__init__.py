"""Which samples come into a set, how often, and in which split: what `build` asks of each sample that passed the rules.

    mix -> dedup -> sample -> split -> copies

Everything is decided by keys of the sample itself (`qwen_sft.inspecting.keys`) and the seed, in the order in which
records are read: the number of processes changes nothing, and the order of files changes no more than which of two
twins is kept.
"""
