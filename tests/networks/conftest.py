import pytest


@pytest.fixture
def tensors_of():
    """Return a network's tensors, buffers included, as they are now."""

    def copy(network):
        return {name: tensor.clone() for name, tensor in network.state_dict().items()}

    return copy
