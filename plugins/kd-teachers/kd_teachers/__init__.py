"""Models from elsewhere as teachers and students of kd: transformers, torchvision, ONNX, class embeddings, tables."""
