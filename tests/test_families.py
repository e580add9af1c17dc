"Just change the name: encoders and decoders of many families, tiny and with random weights, through features and fine-tuning."
import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from conftest import ROWS
from emotion_nbdev.foundations.core import InputError
from emotion_nbdev.features import FeatureExtractor
from emotion_nbdev.fine_tuning import FineTunedClassifier, lighten, load_with_head
from emotion_nbdev.tokenization import load_tokenizer

LABELS, TEXTS = map(list, zip(*((label, text) for label, texts in ROWS.items() for text in texts)))
SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=40)
BERT, ROBERTA = dict(pad="[PAD]", cls="[CLS]", sep="[SEP]", unk="[UNK]", mask="[MASK]"), dict(cls="<s>", pad="<pad>", sep="</s>", unk="<unk>", mask="<mask>")
DECODERS = {"gpt2": dict(n_embd=16, n_layer=2, n_head=2, n_positions=40), "opt": dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, max_position_embeddings=40, word_embed_proj_dim=16),
            "gpt_neox": SMALL, "llama": dict(SMALL, num_key_value_heads=2)}
ENCODERS = {"bert": SMALL, "distilbert": dict(dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40), "roberta": SMALL, "xlm-roberta": SMALL, "camembert": SMALL,
            "albert": dict(SMALL, embedding_size=8), "electra": dict(SMALL, embedding_size=8), "mpnet": SMALL, "deberta-v2": dict(SMALL, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8),
            "modernbert": dict(SMALL, local_attention=8, global_attn_every_n_layers=2), "ernie": SMALL}
WITH_TOKEN_TYPES = ("bert", "albert", "electra", "deberta-v2", "ernie")


def tokenizer_of(family, folder):
    "A small byte-level tokenizer with the special tokens of the family, as transformers saves it"
    from transformers import PreTrainedTokenizerFast
    names = dict(eos="<|endoftext|>") if family in DECODERS else ROBERTA if family in ("roberta", "xlm-roberta", "camembert", "mpnet") else BERT
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=list(names.values()), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if family not in DECODERS: raw.post_processor = processors.BertProcessing((names["sep"], raw.token_to_id(names["sep"])), (names["cls"], raw.token_to_id(names["cls"])))
    inputs = ["input_ids", *(["token_type_ids"] if family in WITH_TOKEN_TYPES else []), "attention_mask"]
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=40, model_input_names=inputs, **{f"{name}_token": token for name, token in names.items()}).save_pretrained(folder)
    return {f"{name}_token_id": raw.token_to_id(token) for name, token in names.items() if name in ("pad", "eos")}, raw.get_vocab_size()


@pytest.fixture(scope="module", params=[*ENCODERS, *DECODERS])
def checkpoint(request, tmp_path_factory):
    "(family, folder) of a tiny checkpoint"
    import torch
    from transformers import AutoConfig, AutoModel
    family, folder = request.param, tmp_path_factory.mktemp(request.param)
    special, size = tokenizer_of(family, folder)
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(family, vocab_size=size, **(ENCODERS | DECODERS)[family], **special)).save_pretrained(folder)
    return family, folder


def test_features(checkpoint):
    family, folder = checkpoint
    extractor = FeatureExtractor(folder, dtype="float32", cache=False, tokens_per_batch=64).fit()
    assert extractor.tokenizer_.padding_side == "right" and extractor.tokenizer_.pad_token is not None
    assert extractor.pooling_ == ("last" if family in DECODERS else "mean")
    limit = {"roberta": 38, "xlm-roberta": 38, "camembert": 38, "mpnet": 38}.get(family, 40)
    assert extractor.limit_ <= 40 and (extractor.limit_ == limit or family in DECODERS)
    vectors = extractor.transform([*TEXTS, "word " * 300])
    assert vectors.shape == (len(TEXTS) + 1, 16) and np.isfinite(vectors).all() and extractor.truncation_.cut == 1
    alone = np.concatenate([extractor.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, vectors[:-1], atol=2e-4)  # whoever else is in the batch


def test_decoders_have_no_cls(checkpoint):
    family, folder = checkpoint
    if family in DECODERS:
        with pytest.raises(InputError, match="has no .CLS."): FeatureExtractor(folder, pooling="cls", cache=False).fit()
    else: assert FeatureExtractor(folder, pooling="cls", cache=False).fit().transform(TEXTS).shape == (len(TEXTS), 16)


def test_fine_tuning_and_back(checkpoint, tmp_path):
    family, folder = checkpoint
    classifier = FineTunedClassifier(folder, epochs=1, batch_size=4).fit(TEXTS, LABELS)
    probabilities = classifier.predict_proba([*TEXTS, "word " * 300])
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([classifier.predict_proba([text]) for text in TEXTS]), probabilities[:-1], atol=1e-4)
    classifier.save(tmp_path/"model")
    assert json.loads((tmp_path/"model"/"config.json").read_text())["pad_token_id"] == load_tokenizer(folder).pad_token_id
    np.testing.assert_allclose(FineTunedClassifier.load(tmp_path/"model").predict_proba(TEXTS), probabilities[:-1], atol=1e-5)
    from transformers import pipeline
    answer = pipeline("text-classification", model=str(tmp_path/"model"), top_k=None)([TEXTS[0]])[0]
    assert {entry["label"]: pytest.approx(entry["score"], abs=1e-4) for entry in answer} == dict(zip(classifier.classes_, probabilities[0]))


def test_a_training_leaves_nothing_to_chance(checkpoint):
    import torch
    family, folder = checkpoint
    model, tokenizer = load_with_head(folder, num_labels=3)
    lighten(model.train())
    inputs = tokenizer(TEXTS[0], return_tensors="pt").to(model.device)
    if family != "opt": assert torch.equal(model(**inputs).logits, model(**inputs).logits)  # its dropout is no layer
    assert FineTunedClassifier(folder, epochs=1, batch_size=4).fit(TEXTS, LABELS).predict_proba(TEXTS).shape == (len(TEXTS), len(ROWS))
