"""Sound and codes to send."""

import io
from typing import Any

import httpx
import numpy as np
import soundfile
from safetensors.numpy import save

from tests.api.conftest import Service

RATE_HZ = 22_050


def tone(seconds: float = 3.0, *, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate_hz)) / rate_hz)
    return np.repeat(wave[:, None], channels, axis=1)


def encoded(samples: np.ndarray, suffix: str = "wav", *, rate_hz: int = RATE_HZ) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=suffix.upper())
    return file.getvalue()


def codes_file(
    num_samples: int = 2,
    top: int = 300,
    *,
    levels: int = 1,
    channels: int = 1,
    metadata: dict | None = None,
) -> bytes:
    names = ("top", "middle", "bottom")[:levels]
    sizes = {name: top * 4**power for power, name in enumerate(names)}
    rows = {name: num_samples * (1 if name == "top" else channels) for name in names}
    codes = {
        name: (np.arange(rows[name] * size) % 64).reshape(rows[name], size).astype(np.int32)
        for name, size in sizes.items()
    }
    return save(codes, metadata=metadata)


async def send(service: Service, content: bytes, name: str = "a.wav") -> httpx.Response:
    return await service.client.post("/assets", files={"file": (name, content)})


async def sent(service: Service, content: bytes, name: str = "a.wav") -> dict[str, Any]:
    response = await send(service, content, name)
    assert response.status_code == 201, response.text
    asset: dict[str, Any] = response.json()
    return asset
