"""What a metric family remembers: a few containers of flat arrays, all saved, resized and compacted the same way."""
