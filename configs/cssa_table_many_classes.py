# CSSA with thousands of classes from a table, as in Open Images. Each step encodes a finding and an aligning prompt per
# class: here all classes share 4 vectors each, and 500 prompts are encoded at a time. A step of 32 images with the
# demo's CLIP, one CPU thread, and the most memory of the whole process, of which 0.5 GiB is Python's:
#
#   classes   16 vectors per class, all at once   4 shared vectors, 500 at a time
#     1,000                      2 s, 1.0 GiB                      1 s, 0.8 GiB
#     5,000                     14 s, 2.5 GiB                      4 s, 1.2 GiB
#
# head.shared_prompts=True saves half of the text once more. Scoring M unlabelled images takes 4 M C bytes.
_base_ = ['_base_/datasets/table.py', '_base_/models/cssa.py', '_base_/schedules/cssa.py', '_base_/runtime.py']
model = dict(
    head=dict(prompts=dict(num_context=4, class_specific=False, chunk_size=500)),
)
