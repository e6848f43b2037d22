"""What kd-export adds to kd: three commands, eight formats, and a transform of the student."""

from __future__ import annotations

from kdcore import CommandEntry, ExporterEntry, TransformEntry, hookimpl

PLUGIN_API = 1


@hookimpl
def kd_commands() -> list[CommandEntry]:
    """`kd export`, `kd predict` and `kd push`."""
    return [
        CommandEntry(
            name="export",
            summary="Export the student of RUN for other tools.",
            target="kd_export.export_command:export",
        ),
        CommandEntry(
            name="predict",
            summary="Predict the classes of new images with the student of RUN.",
            target="kd_export.predict_command:predict",
        ),
        CommandEntry(
            name="push",
            summary="Push the student of RUN to the Hugging Face hub, as timm's models are.",
            target="kd_export.push_command:push",
        ),
    ]


@hookimpl
def kd_exporters() -> list[ExporterEntry]:
    """The formats of `kd export`."""
    return [
        ExporterEntry(
            name="timm",
            summary="A folder that timm.create_model loads.",
            target="kd_export.formats.weights:write_timm",
        ),
        ExporterEntry(
            name="torch",
            summary="Weights as safetensors, with the lines of Python that build the network.",
            target="kd_export.formats.weights:write_torch",
        ),
        ExporterEntry(
            name="onnx",
            summary="ONNX for any runtime, with classes and preprocessing in its metadata.",
            target="kd_export.formats.onnx:write_onnx",
            requires=("onnx>=1.19", "onnxruntime>=1.28", "onnxscript>=0.6"),
            int8=True,
            fp16=True,
            options="kd_export.formats.options:OnnxOptions",
        ),
        ExporterEntry(
            name="openvino",
            summary="OpenVINO's model.xml and model.bin, for CPUs, GPUs and NPUs.",
            target="kd_export.formats.openvino:write_openvino",
            requires=("openvino>=2025.3",),
            int8=True,
        ),
        ExporterEntry(
            name="coreml",
            summary="Core ML's model.mlpackage for Apple's devices; it runs on macOS only.",
            target="kd_export.formats.coreml:write_coreml",
            requires=("coremltools>=9.0",),
            fp16=True,
            options="kd_export.formats.options:CoreMLOptions",
        ),
        ExporterEntry(
            name="executorch",
            summary="ExecuTorch's model.pte for phones and boards, one image at a time, with XNNPACK.",
            target="kd_export.formats.executorch:write_executorch",
            requires=("executorch>=1.5", "torchao>=0.18"),
            int8=True,
        ),
        ExporterEntry(
            name="pt2",
            summary="A program of torch.export.",
            target="kd_export.formats.programs:write_pt2",
        ),
        ExporterEntry(
            name="torchscript",
            summary="TorchScript, traced; C++ can load it as well.",
            target="kd_export.formats.programs:write_torchscript",
        ),
    ]


@hookimpl
def kd_transforms() -> list[TransformEntry]:
    """Training with 8-bit integers."""
    return [
        TransformEntry(
            name="int8",
            summary="Trains with weights and activations rounded to 8 bits, for the 8-bit formats of kd export.",
            target="kd_export.quantize.transform:Int8",
        )
    ]
