"""Classify images with a downloaded student, without torch: onnxruntime, tokenizers, Pillow and numpy.

    from limbeck.classify import load_student

    student = load_student("student")                    # the folder of a bundle with onnx/ and targets/
    found = student.classify("picture.jpg", top=3)
    found.labels[0].label, found.labels[0].confidence    # ("crested auklet", 0.61)
    for path, found in student.classify_many(paths): …   # decodes in threads
    student = student.with_labels(["crane", "heron"])    # new words, if the bundle has onnx/text.onnx
    student.embed(["picture.jpg"])                       # (1, D) float32, L2-normalised

An image file of any kind that training reads is decoded as in training, on the background that the bundle states
(`limbeck.shared.images.decode`), and has the values of timm's transform (`limbeck.classify.preprocessing`). The files
of the bundle that are used are compared with the manifest.
"""

from limbeck.classify.student import Classification as Classification
from limbeck.classify.student import ImageError as ImageError
from limbeck.classify.student import LoadedStudent as LoadedStudent
from limbeck.classify.student import ScoredLabel as ScoredLabel
from limbeck.classify.student import load_student as load_student
from limbeck.shared.bundle.files import BundleError as BundleError
