"""Backbones: arrays in, arrays out. They open no video files and know no stores."""
