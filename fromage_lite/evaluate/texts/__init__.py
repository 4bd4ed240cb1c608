"""How well captions say what their references say: BLEU, ROUGE-L, CIDEr-D as COCO's evaluation has them, CLIPScore."""
