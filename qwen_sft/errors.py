"""Everything that stops us. Bad data never does: that is a Finding.

    QwenSftError
    ├── UsageError      the command line or the settings ask for something that does not exist
    ├── InputError      an input cannot be opened, or is not what its name says
    ├── ModelError      no tokenizer, no template, or a template that we cannot prove
    ├── TemplateError   a chat template rejects one sample (the pipeline turns it into a finding)
    ├── RejectedError   a program's own record gives no row, and it asked to be stopped then
    ├── WorkerError     a process of ours was ended by somebody else
    ├── ServerError     a server cannot be reached, lets us not in, or is none
    └── OutputError     the output folder is not ours to write, or a written file differs from what went in

The command line answers each of them with exit code 2 and its one-line message.
"""


class QwenSftError(Exception):
    """What all our exceptions are; its text says what was found, where, and what to do."""


class UsageError(QwenSftError):
    """The command line or the settings ask for something that does not exist."""


class InputError(QwenSftError):
    """An input cannot be opened, or is not what its name says."""


class ModelError(QwenSftError):
    """No tokenizer, no template, or a template that we cannot prove."""


class TemplateError(QwenSftError):
    """A chat template rejects one sample."""


class OutputError(QwenSftError):
    """The output folder is not ours to write, or a written file differs from what went in."""


class RejectedError(QwenSftError):
    """A record that a program handed over gives no training row."""


class WorkerError(QwenSftError):
    """A process that works for us was ended by somebody else."""


class ServerError(QwenSftError):
    """A server cannot be reached, lets us not in, or is none."""
