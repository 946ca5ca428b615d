# SPDX-License-Identifier: LGPL-2.1-or-later
"""Official configurations, as golden sets quote them, read into our values: how a table of ours is checked."""
from detr.arch import PRESNET, Arch, Backbone, Decoder, Encoder, Stage


def _backbone(config):
    first, frozen = config["return_idx"][0], config.get("freeze_norm")
    if config["type"] == "PResNet":
        blocks, bottleneck = PRESNET[config["depth"]]
        return {"kind": "presnet", "stages": blocks, "bottleneck": bottleneck, "first_stage": first}, frozen
    if config["type"] == "DLANet":
        return {"kind": "dla", "first_stage": first}, frozen
    stages = tuple(Stage(*row[:4], *row[5:]) for row in config["stage_config"])  # row[4]: downsample, all but the first
    return {"kind": "hgnetv2", "stem": tuple(config["stem_channels"][1:]), "stages": stages, "first_stage": first,
            "lab": config["use_lab"]}, frozen


def _encoder(config, v1_names):
    hidden, lite = config["hidden_dim"], config["type"] == "LiteEncoder"
    version = config.get("version", "dfine" if lite else "v1")
    csp2 = "csp_type" in config
    elan = version in ("dfine", "deim")
    return Encoder(
        kind="lite" if lite else "hybrid", hidden=hidden, layers=config.get("num_encoder_layers", 0),
        ff=config["dim_feedforward"] if not lite else 0,
        fusion={"dfine": "elan4", "deim": "elan5"}.get(version, "csp"),
        width=round(config["expansion"] * hidden // 2) if elan else round(config["expansion"] * hidden),
        depth=round(3 * config["depth_mult"]), csp2=csp2, sum=csp2 and config.get("fuse_op", "sum") == "sum",
        v1_names=v1_names)


def _decoder(config, encoder):
    kind = {"DFINETransformer": "dfine", "DEIMTransformer": "deim"}.get(config["type"], "rtdetr")
    names = {"default": "bilinear", "discrete": "discrete"}
    return Decoder(
        kind=kind, hidden=config["hidden_dim"], points=tuple(config["num_points"]),
        projected=kind == "rtdetr" or encoder.hidden != config["hidden_dim"], layers=config["num_layers"],
        eval_idx=config["eval_idx_resolved"], ff=config["dim_feedforward"] // (2 if kind == "deim" else 1),
        act=config["activation"], queries=config["num_queries"], classes=config["num_classes"],
        select=config["query_select_method"], sampling=names[config["cross_attn_method"]],
        learned_content=config["learn_query_content"], denoising=config["num_denoising"] > 0,
        gate=kind == "dfine" or config.get("use_gateway", False), share_bbox=config.get("share_bbox_head", False),
        share_score=config.get("share_score_head", False),
        query_pos_layers=3 if kind == "deim" or config.get("query_pos_method") == "as_reg" else 2,
        layer_scale=config.get("layer_scale", 1), reg_scale=config.get("reg_scale", 4),
        v1_names=config["type"] == "RTDETRTransformer")


def arch_of(name, config, params):
    """The Arch of a golden set's `arch`; params: names of its state dict, for frozen norms of sets that do not tell."""
    v1_names = config["decoder"]["type"] == "RTDETRTransformer"
    backbone, frozen = _backbone(config["backbone"])
    if frozen is None:
        frozen = not any(n.startswith("backbone.") and n.endswith("num_batches_tracked") for n in params)
    rt_names = any("aggregation_squeeze_conv" in n for n in params)
    encoder = _encoder(config["encoder"], v1_names)
    return Arch(name=name, backbone=Backbone(frozen=frozen, rt_names=rt_names, **backbone), encoder=encoder,
                decoder=_decoder(config["decoder"], encoder), input=tuple(config["eval_spatial_size"]))
