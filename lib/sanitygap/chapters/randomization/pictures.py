"""Random gradients and edges in pictures, computed as the page is executed."""

from sanitygap import show
from sanitygap.attribution import unpooled
from sanitygap.attribution.applicable import defined
from sanitygap.chapters.randomization.measure_calibration import edge_masks, thick
from sanitygap.figures.maps import map_grid
from sanitygap.figures.methods import label
from sanitygap.figures.plate import Plate
from sanitygap.runs import Study
from sanitygap.seeds import normal

EDGE_METHODS = ("gradient", "guided-backprop", "guided-grad-cam")

#: profile -> photographs in pictures
PHOTOGRAPHS = {"smoke": 1, "quick": 2, "full": 2}


@show.shows()
def control_pictures(study: Study) -> Plate:
    """Photographs, their edges, two random gradients times input, and maps of image and edges."""
    count = PHOTOGRAPHS[study.settings.profile]
    model, seed = study.model, study.settings.seed
    images = show.pictured_images(study)[:count]
    inputs = model.prepare([images.open(place) for place in range(count)])
    targets, keys = model.predict(inputs), images.keys
    edges = thick(edge_masks(model, inputs))
    shape = tuple(inputs.shape[1:])
    maps = {"edges that are kept": edges.float()}
    for number in (1, 2):
        drawn = normal(shape, [key + seed + number for key in keys], inputs)
        maps[f"input × random gradient {number}"] = (inputs * drawn).sum(1)
    methods = defined(model, EDGE_METHODS)
    own = unpooled(model, inputs, targets, ["gradient-x-input", *methods], keys)
    reduced = unpooled(model, inputs * edges[:, None], targets, methods, keys)
    maps["gradient x input"] = own["gradient-x-input"].sum(1)
    for method in methods:
        maps[f"{label(method)}, image"] = own[method].sum(1)
        maps[f"{label(method)}, edges"] = reduced[method].sum(1)
    pictures = model.preprocessing.to_rgb(inputs).permute(0, 2, 3, 1).cpu().numpy()
    return map_grid(
        list(pictures),
        {name: values.detach().cpu() for name, values in maps.items()},
        list(images.names),
        "Signed maps. Input times a random gradient knows nothing of the network. “Edges”: all "
        "pixels but Canny's edges and their neighbours are set to zero before "
        f"{show.model_of(study)} sees the photograph. Seed {seed}. A picture, not a measurement.",
    )
