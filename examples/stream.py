"""Pull chunks as they are made, and stop in the middle: nothing further is computed."""

import time

import polyvox

voice = polyvox.load("kathleen")
stream = voice.stream("This sentence is long enough to be interrupted. This one is never made. Nor is this one.")
began = time.perf_counter()
for chunk in stream:
    words = " ".join(word.text for word in chunk.words)
    print(f"{1000 * (time.perf_counter() - began):5.0f} ms  {chunk.seconds:.2f} s of audio  {words}")
    if chunk.position > voice.sample_rate:
        stream.close()
