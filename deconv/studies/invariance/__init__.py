"""Figure 5: images shifted, enlarged, turned (`warping`), answered (`response`), scored."""
