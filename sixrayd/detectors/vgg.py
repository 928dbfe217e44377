"""VGG-16 with fc6 and fc7 as dilated convolutions, the backbone of SSD and RFB-Net."""

from torch import nn

from sixrayd.detectors.detector import InputForm

_LOWER = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512)
_UPPER = ("pool", 512, 512, 512)


def vgg_form(size: int) -> InputForm:
    """The input of weights that come from Caffe: mean colour taken off, not scaled."""
    return InputForm(size, (123.0, 117.0, 104.0), (1.0, 1.0, 1.0))


def reduced_vgg16() -> tuple[nn.Sequential, nn.Sequential]:
    """The layers up to conv4_3's ReLU (512 channels, stride 8), and those from there to conv7's
    (1,024 channels, stride 16).

    Source: DeepLab's reduction of VGG-16, as SSD (Liu et al. 2016), Sec. 3.1, uses it.
    """
    upper = [
        *_layers(_UPPER, 512),
        nn.MaxPool2d(3, stride=1, padding=1),
        nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
        nn.ReLU(inplace=True),
        nn.Conv2d(1024, 1024, 1),
        nn.ReLU(inplace=True),
    ]
    return nn.Sequential(*_layers(_LOWER, 3)), nn.Sequential(*upper)


def _layers(plan: tuple[int | str, ...], channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for step in plan:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
        else:
            layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU(inplace=True)]
            channels = step
    return layers
