"""Designs that the export tests share."""

from __future__ import annotations

from piip_explore import Design

DETECTION = [
    "vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14",
    "vit_small@1792:w24g3 vit_base@1120:w24g3 vit_large@672:w24g3; heads=8; points=2; ratio=1",
    "vit_tiny@1344:w28 vit_small@896:w28 vit_base@672:w28 vit_large@448:w28",
    "vit_huge@1024 intern_vit_6b@512; project=no",
    "vit_large@1280 vit_huge@1024 intern_vit_6b@256; attention=regular",
    "convnext_tiny@1024 convnext_small@672 convnext_base@448; merge=conv-multilevel",
    "vit_tiny@1024:w14 convnext_small@672 vit_base@448:w14; merge=conv-multilevel",
    "beit_base@896:w14 beit_large@448; interactions=6",
    "vit[depth=12,dim=160,heads=2]@512:w16 vit[depth=12,dim=320,heads=4]@256 vit[depth=12,dim=640,heads=8]@128",
]
SINGLE = ["vit_base@1024:w14g3", "intern_vit_6b@1024:w14", "convnext_base@1024"]
CLASSIFICATION = [
    "vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads",
    "vit[depth=12,dim=160,heads=2]@512:w16 vit[depth=12,dim=320,heads=4]@256 vit[depth=12,dim=640,heads=8]@128; "
    "merge=linear",
]
LLAVA = [
    "clip_base@512 clip_large@256; interactions=2; merge=none",
    "convnext_base@1024 clip_large@336; merge=none",
]
ODD = [
    "vit_tiny@640 vit_tiny@576 vit_small@512 vit_base@448 vit_large@224",
    "vit_tiny@640 vit_small@512 vit_base@448; direction=all",
    "vit_tiny@640 vit_small@512; direction=up; merge=none; out=2",
    "vit_tiny@640 vit_small@512; interactions=0",
    "vit[depth=6,dim=64,heads=2,patch=8]@640 clip_base@512; merge=linear; interactions=3",
    "convnext[depths=1-1-2-1,dims=32-64-64-128]@640 vit_base@320; merge=conv-multilevel; interactions=4",
]
ALL = [Design.parse(text) for text in (*DETECTION, *SINGLE, *CLASSIFICATION, *LLAVA, *ODD)]
