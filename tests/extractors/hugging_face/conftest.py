"""Small models with seeded random weights, written as transformers writes its own."""

import contextlib
import io

import pytest

SIDE = 32
BLOCKS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PATCHES = {**BLOCKS, "image_size": SIDE, "patch_size": 8}
STAGES = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
SQUASHED = {"size": {"height": SIDE, "width": SIDE}}
CUT = {"size": {"shortest_edge": 40}, "crop_size": {"height": SIDE, "width": SIDE}}
WAVES = {
    **BLOCKS, "conv_dim": [16, 16, 16], "conv_kernel": [10, 8, 4], "conv_stride": [5, 8, 8],
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 3,
}  # fmt: skip
SWIN = {"image_size": SIDE, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
TEXT = {**BLOCKS, "vocab_size": 40, "max_position_embeddings": 77}
CLAP_SOUND = {
    "patch_embeds_hidden_size": 16, "depths": [1, 1, 1, 1], "num_attention_heads": [2, 2, 2, 2], "hidden_size": 128,
    "projection_dim": 24, "num_mel_bins": 64, "window_size": 8,
}  # fmt: skip
MODERN_BERT = {
    **BLOCKS, "vocab_size": 60, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1,
    "sep_token_id": 2, "model_type": "modernbert",
}  # fmt: skip
PE_BLOCKS = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "head_dim": 16,
}
DAC = {
    "downsampling_ratios": [4, 10, 12, 4],
    "encoder_hidden_size": 4,
    "codebook_dim": 8,
    "hidden_size": 64,
    "model_type": "dac",
}
PE_VISION = {
    "architecture": "vit_tiny_patch16_224", "num_classes": 16, "do_pooling": True, "model_type": "timm_wrapper",
    "model_args": {"img_size": SIDE, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2, "global_pool": "avg"}
}  # fmt: skip
PE_SOUND = {**PE_BLOCKS, "dac_config": DAC, "model_type": "pe_audio_encoder"}
PE_FRAMES = {**PE_BLOCKS, "vision_config": PE_VISION, "model_type": "pe_video_encoder"}
PE_PIXELS = {
    **SQUASHED, "do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7],
}  # fmt: skip

# model_type -> class of the file's model, its configuration, class of the processor, the processor's options
MODELS = {
    "vit": ("ViTForImageClassification", PATCHES, "ViTImageProcessor", SQUASHED),
    "deit": (
        "DeiTModel",
        PATCHES,
        "DeiTImageProcessor",
        {"size": {"height": 40, "width": 40}, "crop_size": {"height": SIDE, "width": SIDE}},
    ),
    "dinov2": ("Dinov2Model", PATCHES, "BitImageProcessor", CUT),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        {**PATCHES, "num_register_tokens": 3},
        "BitImageProcessor",
        CUT,
    ),
    "dinov3_vit": ("DINOv3ViTModel", {**PATCHES, "num_register_tokens": 3}, "DINOv3ViTImageProcessor", SQUASHED),
    "dinov3_convnext": ("DINOv3ConvNextModel", STAGES, "DINOv3ViTImageProcessor", SQUASHED),
    "convnext": (
        "ConvNextForImageClassification",
        STAGES,
        "ConvNextImageProcessor",
        {"size": {"shortest_edge": SIDE}, "crop_pct": 0.875},
    ),
    "convnextv2": ("ConvNextV2Model", STAGES, "ConvNextImageProcessor", {"size": {"shortest_edge": SIDE}}),
    "swin": ("SwinModel", SWIN, "ViTImageProcessor", SQUASHED),
    "swinv2": ("Swinv2Model", SWIN, "ViTImageProcessor", SQUASHED),
    "clip": (
        "CLIPModel",
        {"vision_config": {**PATCHES}, "text_config": TEXT, "projection_dim": 24},
        "CLIPImageProcessor",
        CUT,
    ),
    "clip_vision_model": (
        "CLIPVisionModelWithProjection",
        {**PATCHES, "projection_dim": 24},
        "CLIPImageProcessor",
        CUT,
    ),
    "siglip": (
        "SiglipModel",
        {"vision_config": {**PATCHES}, "text_config": {**TEXT, "max_position_embeddings": 64}},
        "SiglipImageProcessor",
        SQUASHED,
    ),
    "siglip_vision_model": ("SiglipVisionModel", PATCHES, "SiglipImageProcessor", SQUASHED),
    "videomae": ("VideoMAEForVideoClassification", {**PATCHES, "num_frames": 4}, "VideoMAEVideoProcessor", CUT),
    "timesformer": ("TimesformerModel", {**PATCHES, "num_frames": 4}, "TimesformerVideoProcessor", CUT),
    "vivit": ("VivitModel", {**PATCHES, "num_frames": 4, "tubelet_size": [2, 8, 8]}, "VivitVideoProcessor", CUT),
    "vjepa2": (
        "VJEPA2Model",
        {
            **BLOCKS,
            "crop_size": SIDE,
            "patch_size": 8,
            "frames_per_clip": 4,
            "pred_hidden_size": 16,
            "pred_num_attention_heads": 2,
            "pred_num_hidden_layers": 1,
            "pred_num_mask_tokens": 2,
        },
        "VJEPA2VideoProcessor",
        {"crop_size": {"height": SIDE, "width": SIDE}},
    ),
    "audio-spectrogram-transformer": (
        "ASTForAudioClassification",
        {**BLOCKS, "max_length": 128, "num_mel_bins": 32},
        "ASTFeatureExtractor",
        {"num_mel_bins": 32, "max_length": 128},
    ),
    "clap": (
        "ClapModel",
        {"audio_config": CLAP_SOUND, "text_config": {**TEXT}, "projection_dim": 24},
        "ClapFeatureExtractor",
        {"truncation": "rand_trunc"},
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        {
            "d_model": 32,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_layers": 1,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "vocab_size": 60,
            "pad_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "decoder_start_token_id": 4,
        },
        "WhisperFeatureExtractor",
        {},
    ),
    "wav2vec2": ("Wav2Vec2ForCTC", {**WAVES, "vocab_size": 40}, "Wav2Vec2FeatureExtractor", {}),
    "hubert": ("HubertModel", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "wavlm": ("WavLMModel", WAVES, "Wav2Vec2FeatureExtractor", {}),
    "pe_audio": ("PeAudioModel", {"text_config": MODERN_BERT, "audio_config": PE_SOUND}, "PeAudioFeatureExtractor", {}),
    "pe_audio_video": (
        "PeAudioVideoModel",
        {
            "text_config": MODERN_BERT,
            "audio_video_config": {**PE_BLOCKS, "audio_config": PE_SOUND, "video_config": PE_FRAMES},
        },
        "PeVideoVideoProcessor",
        PE_PIXELS,
    ),
}


def write_model(folder, model_type, *, seed=0, **changes):
    """Write ``config.json``, ``preprocessor_config.json`` and ``model.safetensors``; returns the model."""
    import torch
    import transformers

    from extractors.weights.hugging_face import quiet_transformers

    made_by, facts, processor, options = MODELS[model_type]
    torch.manual_seed(seed)
    with quiet_transformers(), contextlib.redirect_stdout(io.StringIO()):
        network = getattr(transformers, made_by)
        network = network(network.config_class(**{**facts, **changes})).eval()
        with torch.no_grad():  # biases, scales and class tokens that begin at 0 or 1 would hide a mistake
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        network.save_pretrained(folder)
        getattr(transformers, processor)(**options).save_pretrained(folder)
        if model_type == "pe_audio_video":
            transformers.PeAudioFeatureExtractor().save_pretrained(folder)
    return network


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """``models(model_type)``: the folder of a small model and the model itself, made once."""
    made = {}

    def get(model_type):
        if model_type not in made:
            folder = tmp_path_factory.mktemp(model_type)
            made[model_type] = (folder, write_model(folder, model_type))
        return made[model_type]

    return get


@pytest.fixture
def new_model():
    """Writes a small model into a folder, see :func:`write_model`."""
    return write_model


@pytest.fixture(scope="session")
def model_names():
    return tuple(MODELS)
