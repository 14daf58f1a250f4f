"""One outside thing each: a store, a pool of processes, a renderer, a model, the Hub.

A resource knows its thing, its limits and its retries; it knows nothing of what the data means.
"""
