"""The errors that a user can cause; anything else that is raised is a bug.

DenoiseError
├── OptionError     a setting is out of its bounds
├── PlanError       the inputs and outputs of a command do not fit together
├── ImageError      an image cannot be read or used
│   └── DamagedImageError  its file breaks off, or its pixels cannot be unpacked
├── OutputError     a file cannot be written
├── ModelFileError  a file holds no model that can be used
├── DeviceError     the requested device is not there or too small
├── ClusterError    a Dask cluster cannot be reached or used
└── TrainingError   the model cannot be trained on this image
"""


class DenoiseError(Exception):
    """Base class: the message names the value, what was expected and what to do."""


class OptionError(DenoiseError):
    """A setting is out of its bounds."""


class PlanError(DenoiseError):
    """The files that a command names do not fit together; nothing has been done yet."""


class ImageError(DenoiseError):
    """An image (file or array) cannot be read or denoised."""


class DamagedImageError(ImageError):
    """The file of an image breaks off, or its pixels cannot be unpacked."""


class OutputError(DenoiseError):
    """A file exists already or cannot be written."""


class ModelFileError(DenoiseError):
    """A model file is missing, damaged or of another kind."""


class DeviceError(DenoiseError):
    """The requested device is unknown, not available on this machine, or short of memory."""


class ClusterError(DenoiseError):
    """A Dask cluster cannot be reached, or its workers cannot do the work."""


class TrainingError(DenoiseError):
    """Training left the range of finite numbers."""
