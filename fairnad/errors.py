"""Every error the program raises on purpose.

    FairnadError
    ├── UserError                 the user can fix it: one line, exit status 2
    │   ├── SettingsError         a setting is unknown, malformed or out of range
    │   ├── PackError             a prompt pack is incomplete or contradicts itself
    │   ├── IdeaFileError         an idea file cannot be read; names the line
    │   ├── PaperFileError        a list of papers cannot be read; names the line
    │   ├── KnowledgeError        a knowledge folder cannot be used, or nothing was found to build it from
    │   ├── IdeaIndexError        the idea index is missing or belongs to another embedding model
    │   ├── TaskError             a data set is missing or malformed
    │   ├── BaseModelError        the base model cannot start a search
    │   ├── ReplayError           recorded calls cannot be read, or a needed call is missing
    │   ├── RunFolderError        a run folder cannot be used
    │   └── StorageError          the disk is full or read-only
    ├── EndpointError             no language-model endpoint answers; the run can be resumed
    ├── LimitError                a limit on money, tokens or hours is reached; raise it to continue
    ├── ReviewError               a review needs a person, and no terminal is attached; the run can be resumed
    ├── LabError                  the lab itself broke, not a candidate
    └── StoppingError             the run is being stopped; this work did not start, or was cut off

A failed candidate is data, not an error: see :class:`fairnad.records.candidate.Failure`.
"""


class FairnadError(RuntimeError):
    """Root of every error raised on purpose.

    A LangGraph server shows the messages of Python's own errors to its clients and hides all others, hence the base.
    """


class UserError(FairnadError):
    """The user can fix it. The message is one line: what was expected, what was found, where, and what to do."""


class SettingsError(UserError):
    """A setting is unknown, malformed, out of range, or differs from the resumed run's."""


class PackError(UserError):
    """A prompt pack is incomplete or contradicts itself."""


class IdeaFileError(UserError):
    """An idea file cannot be read; the message names the file and the line."""


class PaperFileError(UserError):
    """A list of papers cannot be read; the message names the file and the line."""


class KnowledgeError(UserError):
    """A knowledge folder is unusable or has other settings, or there is nothing to build from."""


class IdeaIndexError(UserError):
    """The idea index is missing, or holds the vectors of another embedding model."""


class TaskError(UserError):
    """A data set is missing or malformed; the message names the folder and how to get the data."""


class BaseModelError(UserError):
    """The base model defines no usable ``Network``, does not run, or does not fit the budgets."""


class ReplayError(UserError):
    """Recorded calls cannot be read, or the search needs a call that was not recorded."""


class RunFolderError(UserError):
    """A run folder has another version, is in use by another process, or is no run folder."""


class StorageError(UserError):
    """The disk is full or read-only. Nothing that was stored is lost."""


class EndpointError(FairnadError):
    """No language-model endpoint answers, or it refuses the key. The run can be resumed."""


class LimitError(FairnadError):
    """A limit on money, tokens or hours is reached. Raise it to continue. Exit status 3."""


class ReviewError(FairnadError):
    """A review needs a person, and no terminal is attached. The run can be resumed."""


class LabError(FairnadError):
    """The lab itself broke. A failed candidate never raises this."""


class StoppingError(FairnadError):
    """The run is being stopped. This work did not start, or was cut off; the next start does it."""
