"""Read label files in the forms that people have: lists, tables, JSON, YAML, and what data sets ship.

`read_label_file` is the entry point. A form is recognised by its content, over the whole file; what was taken as the
label and what was dropped is reported, and a file that could mean two things is refused.
"""

from limbeck.shared.label_files.cleanup import NameFault as NameFault
from limbeck.shared.label_files.reader import read_label_file as read_label_file
from limbeck.shared.label_files.types import FileLabel as FileLabel
from limbeck.shared.label_files.types import LabelFault as LabelFault
from limbeck.shared.label_files.types import LabelFile as LabelFile
from limbeck.shared.label_files.types import LabelFileError as LabelFileError
