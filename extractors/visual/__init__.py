"""Visual backbones, a file each."""
