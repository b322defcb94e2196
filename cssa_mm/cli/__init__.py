"""Commands: each file is one, with its arguments and its example; `cssa COMMAND` runs it."""
