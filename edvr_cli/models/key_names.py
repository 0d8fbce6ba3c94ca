"""Names of parameters: those of other code bases as the public checkpoints have them.

OpenMMLab's files put each convolution one level deeper; the files of the paper's own first release (before
BasicSR) name levels ``L1`` to ``L3`` in front. Every name of one lineage has exactly one in the others.
"""

import re

__all__ = ["is_counter", "published_key"]

_OPENMMLAB = (
    (r"^pcd_alignment\.", "pcd_align."),
    (r"^feat_l([23])_conv([12])\.", r"conv_l\1_\2."),
    (r"^upsample([12])\.upsample_conv\.", r"upconv\1."),
    (r"\.conv\.(weight|bias)$", r".\1"),
)
_FIRST_RELEASE = (
    (r"^pre_deblur\.conv_first(?:_1)?\.", "predeblur.conv_first."),
    (r"^pre_deblur\.conv_first_([23])\.", lambda m: f"predeblur.stride_conv_hr{int(m[1]) - 1}."),
    (r"^pre_deblur\.deblur_L([23])_conv\.", r"predeblur.stride_conv_l\1."),
    (r"^pre_deblur\.RB_L3_1\.", "predeblur.resblock_l3."),
    (r"^pre_deblur\.RB_L2_([12])\.", r"predeblur.resblock_l2_\1."),
    (r"^pre_deblur\.RB_L1_([1-5])\.", lambda m: f"predeblur.resblock_l1.{int(m[1]) - 1}."),
    (r"^fea_L([23])_conv([12])\.", r"conv_l\1_\2."),
    (r"^pcd_align\.L([123])_offset_conv([123])\.", r"pcd_align.offset_conv\2.l\1."),
    (r"^pcd_align\.L([123])_dcnpack\.", r"pcd_align.dcn_pack.l\1."),
    (r"^pcd_align\.L([12])_fea_conv\.", r"pcd_align.feat_conv.l\1."),
    (r"\.conv_offset_mask\.", ".conv_offset."),
    # Their numbers changed places: the reference's convolution is the second here, the first in BasicSR.
    (r"^tsa_fusion\.tAtt_1\.", "fusion.temporal_attn2."),
    (r"^tsa_fusion\.tAtt_2\.", "fusion.temporal_attn1."),
    (r"^tsa_fusion\.fea_fusion\.", "fusion.feat_fusion."),
    (r"^tsa_fusion\.sAtt_add_([12])\.", r"fusion.spatial_attn_add\1."),
    (r"^tsa_fusion\.sAtt_L([123])\.", r"fusion.spatial_attn_l\1."),
    (r"^tsa_fusion\.sAtt_([1-5])\.", r"fusion.spatial_attn\1."),
    (r"^tsa_fusion\.(weight|bias)$", r"fusion.\1"),
    (r"^recon_trunk\.", "reconstruction."),
    (r"^HRconv\.", "conv_hr."),
)
_RENAMES = tuple((re.compile(pattern), name) for pattern, name in (*_OPENMMLAB, *_FIRST_RELEASE))


def published_key(key: str) -> str:
    """A parameter's name in the public checkpoints, without the prefixes of wrappers; others are unchanged."""
    while key.startswith(("module.", "generator.")):
        key = key.split(".", 1)[1]
    for pattern, name in _RENAMES:
        key = pattern.sub(name, key)
    return key


def is_counter(key: str) -> bool:
    """Whether the key is training state, which OpenMMLab keeps next to the parameters."""
    return key.startswith("generator_ema.") or key.rsplit(".", 1)[-1] in ("step_counter", "_iter")
