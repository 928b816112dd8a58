"""Tables and figures of the papers, each trained, scored and printed beside the published numbers by one command."""
