"""One clip: a media file and a span in, arrays on the clip's clock out."""
