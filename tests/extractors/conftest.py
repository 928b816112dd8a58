import importlib.util

import pytest


@pytest.fixture(params=["torch", "openvino"])
def engine(request):
    """Each engine. OpenVINO is not imported here: that is for the engine to do, without telemetry."""
    if request.param == "openvino" and importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed")
    return request.param
