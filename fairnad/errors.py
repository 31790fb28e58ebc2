"""Every error the program raises on purpose.

    FairnadError
    ├── UserError                 the user can mend it: one line, exit status 2
    │   ├── SettingsError         a setting is unknown, malformed or out of range
    │   ├── PackError             a prompt pack is incomplete or contradicts itself
    │   ├── IdeaFileError         an idea file cannot be read; names the line
    │   ├── PaperFileError        a list of papers cannot be read; names the line
    │   ├── KnowledgeError        a knowledge folder cannot be used, or nothing was found to build it from
    │   ├── IdeaIndexError        ideas cannot be searched by meaning with the index there is
    │   ├── TaskError             a data set is missing or malformed
    │   ├── BaseModelError        the base model cannot be the start of a search
    │   ├── ReplayError           recorded calls cannot be read, or do not hold a call that is needed
    │   ├── RunFolderError        a run folder cannot be used
    │   └── StorageError          the disk is full or refuses to be written
    ├── EndpointError             the language-model endpoint is gone for good; the run can be resumed
    ├── LimitError                a limit on money, tokens or hours is reached; a higher one goes on
    ├── ReviewError               a person has to decide, and there is none at the terminal; the run can be resumed
    ├── LabError                  the machinery around the sandboxed jobs broke
    └── StoppingError             the run is being stopped: this work was not begun, or was cut off

A candidate that fails is no error but data: see :class:`fairnad.records.candidate.Failure`.
"""


class FairnadError(RuntimeError):
    """Root of every error raised on purpose.

    A LangGraph server shows the messages of Python's own errors to its clients and hides all others, hence the base.
    """


class UserError(FairnadError):
    """The user can mend it; the message is one line: what was expected, what was found, where, what to do."""


class SettingsError(UserError):
    """A setting is unknown, malformed or out of range, or differs from those of the run that is resumed."""


class PackError(UserError):
    """A prompt pack is incomplete or contradicts itself."""


class IdeaFileError(UserError):
    """An idea file cannot be read; the message names the file and the line."""


class PaperFileError(UserError):
    """A list of papers cannot be read; the message names the file and the line."""


class KnowledgeError(UserError):
    """A knowledge folder is of other settings, in use or none, or nothing was found to build knowledge from."""


class IdeaIndexError(UserError):
    """Ideas cannot be searched by meaning: their index is missing, or holds the vectors of another model."""


class TaskError(UserError):
    """A data set is missing or malformed; the message names the folder and how to get the data."""


class BaseModelError(UserError):
    """The base model defines no usable ``Network``, does not run, or cannot be brought under the budgets."""


class ReplayError(UserError):
    """Recorded calls cannot be read, or the search needs one that was not recorded."""


class RunFolderError(UserError):
    """A run folder is of another version, in use by another process, or not a run folder."""


class StorageError(UserError):
    """The disk is full or refuses to be written; nothing that was stored is lost."""


class EndpointError(FairnadError):
    """The language-model endpoint is gone for good, or refuses the key; the run can be resumed."""


class LimitError(FairnadError):
    """A limit on money, tokens or hours is reached; the run goes on under a higher one. Exit status 3."""


class ReviewError(FairnadError):
    """A person has to decide before the search can go on, and there is none at the terminal; it can be resumed."""


class LabError(FairnadError):
    """The machinery around the sandboxed jobs broke (never: a candidate failed)."""


class StoppingError(FairnadError):
    """The run is being stopped: this work was not begun, or was cut off, and stays pending for the next start."""
