"""The camera: exposure, colour temperature, tone curve, blur and sensor noise."""

from dataclasses import dataclass

import cv2
import numpy as np

from deconv.scenes.lighting import Light
from deconv.scenes.texture_recipes import TILE_PX
from deconv.scenes.textures import grain

_CURVE_STEPS, _CURVE_END, _KNEE = 4096, 3.0, 0.68


@dataclass(frozen=True)
class Exposure:
    """What the camera does to the finished scene; every value is drawn by `draw`."""

    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    tilt: tuple[float, float]
    vignette: float
    blur: float
    noise: float
    offset: tuple[int, int]

    @classmethod
    def draw(cls, rng: np.random.Generator, light: Light) -> "Exposure":
        """A random exposure; the side towards the light comes out brighter."""
        warm, bright, gamma, contrast, tilt, vignette, blur, noise = rng.random(8)
        warm, level = 0.28 * (warm - 0.5), 0.95 + 0.4 * bright
        y, x = rng.integers(0, TILE_PX, 2).tolist()
        return cls(
            gain=(level * (1 + warm), level * (1 + 0.1 * warm), level * (1 - warm)),
            gamma=0.8 + 0.45 * gamma,
            contrast=0.75 + 0.45 * contrast,
            tilt=(0.5 * tilt * light.x, 0.5 * tilt * light.y),
            vignette=0.5 * vignette,
            blur=max(0.0, 2.2 * blur - 1.2) * 0.006,
            noise=0.004 + 0.024 * noise**2,
            offset=(y, x),
        )

    def develop(self, image: np.ndarray) -> np.ndarray:
        """float32 (s, s, 3), about [0, 1] → uint8 (s, s, 3)."""
        size = len(image)
        axis = np.linspace(-1, 1, size, dtype=np.float32)
        fall = 1 - self.vignette * 0.35 * axis**2
        across = 1 + self.tilt[0] * axis
        down = 1 + self.tilt[1] * axis
        image = image * ((fall * down)[:, None] * (fall * across)[None, :])[..., None]
        image *= np.array(self.gain, np.float32)
        sigma = self.blur * size
        if sigma > 0.25:
            image = cv2.GaussianBlur(image, (0, 0), sigma)
        levels = np.clip(image * np.float32(_CURVE_STEPS / _CURVE_END), 0, _CURVE_STEPS - 1)
        image = self._curve().take(levels.astype(np.int32))
        y, x = self.offset
        image += grain()[y : y + size, x : x + size] * np.float32(self.noise)
        return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)

    def _curve(self) -> np.ndarray:
        """Brightness out for `_CURVE_STEPS` brightnesses in, 0 to `_CURVE_END`, float32.

        Gamma and contrast, then a shoulder: what is too bright fades out, as film does.
        """
        bright = np.linspace(0, _CURVE_END, _CURVE_STEPS, dtype=np.float32) ** self.gamma
        bright = (bright - 0.45) * self.contrast + 0.45
        over = np.maximum(bright - _KNEE, 0)
        soft = (1 - _KNEE) * (1 - np.exp(-over / (1 - _KNEE)))
        return (np.minimum(bright, _KNEE) + soft).astype(np.float32)
