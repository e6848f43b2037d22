"""k-NN and linear-probe accuracy of a classifier's embedding, as a student without a classifier is measured.

python measure.py runs/cross-entropy
"""

import sys

import kdcore
from kdcore.inspect import Embedded, measure_embeddings

run, found = kdcore.open_run(sys.argv[1], teacher=False), []
for split, most in ((run.spec.data.eval_split, None), (run.spec.data.train_split, 10_000)):
    data = run.spec.data.model_copy(update={"eval_split": split})
    images = kdcore.open_run(sys.argv[1], teacher=False, data=data, most=most)
    student, _ = images.predictions
    found.append(Embedded(student.embedding, student.target))
queries, gallery = found
print(measure_embeddings(queries, gallery, run.student.num_classes, probe=True).as_dict())
