"""Sample images of the labels of a dataset, for pages that show what a label looks like."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32, ResponseModel
from api.readers.index_rows import LABEL_IMAGES, IndexRows
from store import resources

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
_MAX_LABELS = 100
Labels = Annotated[
    list[Annotated[int, Field(ge=0, le=MAX_INT32)]],
    Query(min_length=1, max_length=_MAX_LABELS, description="Position of a label; repeat it for several."),
]


class LabelImageOut(ResponseModel):
    """An image of a label."""

    row: int = Field(description="Position of the image in the dataset.")
    thumbnail: str = Field(description="Path of its thumbnail.")


class LabelImagesOut(ResponseModel):
    """The first images of a label."""

    position: int = Field(description="Position of the label in the vocabulary.")
    images: list[LabelImageOut] = Field(description=f"At most {LABEL_IMAGES}; empty for a label without images.")


class ImagesOfLabelsOut(ResponseModel):
    """Sample images of labels, in the order of the request."""

    object: Literal["label_images"] = "label_images"
    labels: list[LabelImagesOut]


@router.get("/{id}/label-images", response_model=ImagesOfLabelsOut)
def get(request: Request, services: ServicesDep, id: str, label: Labels) -> object:
    """The first images of some labels, in the order of the dataset's index."""
    with services.db.read() as tx:
        dataset = resources.dataset(tx, id)
    rows: IndexRows = request.app.state.index_rows
    found = rows.of_labels(dataset.manifest_key, label)
    return ImagesOfLabelsOut(
        labels=[
            LabelImagesOut(
                position=position,
                images=[
                    LabelImageOut(row=row, thumbnail=f"/v1/datasets/{id}/images/{row}/thumbnail") for row in images
                ],
            )
            for position, images in zip(label, found, strict=True)
        ]
    )
