"""What things are made of, and how strongly it attenuates X-rays in two energy bands.

Source: mass attenuation coefficients with coherent scattering, J. H. Hubbell and
S. M. Seltzer, NISTIR 5632 (NIST Standard Reference Database 126), Table 3.
"""

from dataclasses import dataclass
from functools import cache

# cm²/g at 40, 50, 60, 80, 100 and 150 keV.
MASS_ATTENUATION = {
    "H": (0.3458, 0.3355, 0.3260, 0.3091, 0.2944, 0.2651),
    "C": (0.2076, 0.1871, 0.1753, 0.1610, 0.1514, 0.1347),
    "N": (0.2288, 0.1980, 0.1817, 0.1639, 0.1529, 0.1353),
    "O": (0.2585, 0.2132, 0.1907, 0.1678, 0.1551, 0.1361),
    "Na": (0.3969, 0.2804, 0.2268, 0.1796, 0.1585, 0.1335),
    "Al": (0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378),
    "Si": (0.7012, 0.4385, 0.3207, 0.2228, 0.1835, 0.1448),
    "Cl": (1.1160, 0.6483, 0.4395, 0.2696, 0.2050, 0.1480),
    "Ca": (1.8300, 1.0190, 0.6578, 0.3656, 0.2571, 0.1674),
    "Cr": (2.8560, 1.5500, 0.9639, 0.4905, 0.3166, 0.1788),
    "Fe": (3.6290, 1.9580, 1.2050, 0.5952, 0.3717, 0.1964),
    "Co": (3.9800, 2.1440, 1.3140, 0.6414, 0.3949, 0.2023),
    "Ni": (4.6000, 2.4740, 1.5120, 0.7306, 0.4440, 0.2208),
    "Cu": (4.8620, 2.6130, 1.5930, 0.7630, 0.4584, 0.2217),
    "Zn": (5.3840, 2.8920, 1.7600, 0.8364, 0.4973, 0.2341),
    "Pb": (14.360, 8.0410, 5.0210, 2.4190, 5.5490, 2.0140),
}

# Share of each energy in what the two layers of the detector see of a filtered 160 kV tube.
LOW_BAND = (0.25, 0.35, 0.25, 0.15, 0.0, 0.0)
HIGH_BAND = (0.0, 0.0, 0.05, 0.25, 0.35, 0.35)


@dataclass(frozen=True, slots=True)
class Material:
    """A mixture of elements; fractions are by mass and add up to 1."""

    name: str
    density_g_cm3: float
    fractions: tuple[tuple[str, float], ...]


WATER = Material("water", 1.00, (("H", 0.112), ("O", 0.888)))
FOOD = Material("food", 0.95, (("H", 0.10), ("C", 0.16), ("N", 0.03), ("O", 0.70), ("Cl", 0.01)))
CLOTH = Material("cloth", 0.20, (("H", 0.06), ("C", 0.48), ("O", 0.46)))
NYLON = Material("nylon", 1.14, (("H", 0.10), ("C", 0.64), ("N", 0.12), ("O", 0.14)))
WOOD = Material("wood", 0.65, (("H", 0.06), ("C", 0.50), ("O", 0.44)))
PAPER = Material("paper", 0.80, (("H", 0.06), ("C", 0.43), ("O", 0.49), ("Ca", 0.02)))
LEATHER = Material(
    "leather", 0.86, (("H", 0.07), ("C", 0.49), ("N", 0.14), ("O", 0.28), ("Cr", 0.02))
)
ABS = Material("ABS", 1.05, (("H", 0.08), ("C", 0.85), ("N", 0.07)))
PVC = Material("soft PVC", 1.35, (("H", 0.07), ("C", 0.55), ("Cl", 0.38)))
FILLED = Material("filled polymer", 1.15, (("H", 0.10), ("C", 0.60), ("O", 0.13), ("Ca", 0.17)))
RUBBER = Material(
    "rubber", 1.15, (("H", 0.10), ("C", 0.74), ("O", 0.05), ("Ca", 0.07), ("Zn", 0.04))
)
SOAP = Material("soap", 1.05, (("H", 0.10), ("C", 0.55), ("O", 0.30), ("Na", 0.05)))
GLASS = Material("glass", 2.50, (("O", 0.46), ("Na", 0.10), ("Si", 0.34), ("Ca", 0.10)))
ALUMINIUM = Material("aluminium", 2.70, (("Al", 1.0),))
BOARD = Material(
    "circuit board", 1.90, (("H", 0.03), ("C", 0.30), ("O", 0.33), ("Si", 0.22), ("Cu", 0.12))
)
CELL = Material(
    "lithium cell", 2.30, (("C", 0.30), ("O", 0.20), ("Al", 0.15), ("Co", 0.22), ("Cu", 0.13))
)
STEEL = Material("steel", 7.87, (("C", 0.005), ("Fe", 0.995)))
STAINLESS = Material("stainless steel", 7.80, (("Cr", 0.18), ("Fe", 0.74), ("Ni", 0.08)))
COPPER = Material("copper", 8.96, (("Cu", 1.0),))
BRASS = Material("brass", 8.50, (("Cu", 0.63), ("Zn", 0.37)))
ZINC = Material("zinc alloy", 6.60, (("Al", 0.04), ("Zn", 0.96)))
LEAD = Material("lead", 11.35, (("Pb", 1.0),))


@cache
def linear_attenuation(material: Material) -> tuple[float, float]:
    """Attenuation coefficient of the low and of the high band, in 1/cm."""
    low = _mass_attenuation(material, LOW_BAND) * material.density_g_cm3
    return low, _mass_attenuation(material, HIGH_BAND) * material.density_g_cm3


def _mass_attenuation(material: Material, band: tuple[float, ...]) -> float:
    """cm²/g: the mixture rule over elements, then the band's mean over energies."""
    return sum(
        fraction * share * value
        for element, fraction in material.fractions
        for share, value in zip(band, MASS_ATTENUATION[element], strict=True)
    )
