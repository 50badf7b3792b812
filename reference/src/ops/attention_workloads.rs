//! Sizes of attention in networks.

use crate::Workload;

const BENCHDNN: &str = "oneDNN benchdnn sdpa inputs";
const TORCHBENCH: &str = "TorchBench";
const GGML: &str = "ggml flash attention tests";
const LLAMA4: &str = "TorchBench decoding_attention";
const SWEEP: &str = "composed for the suite: a sweep of lengths";

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

/// Of `attention`.
pub static ATTENTION: &[Workload] = &[
    w("small.ci", "h=2,sq=8,sk=8,d=16,dv=16", BENCHDNN).smoke(),
    w("small.ci_causal", "h=2,sq=8,sk=8,d=16,dv=16,causal=top,mask=add", BENCHDNN).smoke(),
    w("bert_base.128", "h=12,sq=128,sk=128,d=64,dv=64", BENCHDNN),
    w("bert_base.train", "n=8,h=12,sq=128,sk=128,d=64,dv=64,lengths=given", "TorchBench BertForMaskedLM, 8 of 64"),
    w("bert.384", "h=12,sq=384,sk=384,d=64,dv=64", BENCHDNN),
    w("bert_large.384", "h=16,sq=384,sk=384,d=64,dv=64,mask=add", BENCHDNN),
    w("gpt2.512", "n=4,h=12,sq=512,sk=512,d=64,dv=64,causal=top", TORCHBENCH),
    w(
        "gpt2.512_rows",
        "h=12,sq=512,sk=512,d=64,dv=64,causal=top,order=rows",
        "gpt2.512, one sequence as projections give it",
    ),
    w("llama2_7b.prefill512", "h=32,sq=512,sk=512,d=128,dv=128,causal=top", BENCHDNN),
    w("llama2_7b.decode513", "h=32,sk=513,d=128,dv=128", BENCHDNN),
    w("llama3_8b.prefill384", "h=8,g=4,sq=384,sk=384,d=128,dv=128,causal=top", BENCHDNN),
    w("llama3_8b.decode385", "h=8,g=4,sk=385,d=128,dv=128", BENCHDNN),
    w("qwen2_7b.384", "h=4,g=7,sq=384,sk=384,d=128,dv=128,causal=top", BENCHDNN),
    w("phi3.384", "h=32,sq=384,sk=384,d=96,dv=96,causal=top", BENCHDNN),
    w("asym_heads", "h=16,sq=384,sk=384,d=128,dv=64", BENCHDNN),
    w("llama.odd_prompt", "n=4,h=32,sq=19,sk=19,d=128,dv=128,causal=top", TORCHBENCH),
    w("llama.511", "h=32,sq=511,sk=511,d=128,dv=128,causal=top", TORCHBENCH),
    w("decode.2048", "h=8,sk=2048,d=128,dv=128", GGML),
    w("decode.4096", "h=8,sk=4096,d=128,dv=128", GGML),
    w("decode.4096_g4", "h=8,g=4,sk=4096,d=128,dv=128", GGML),
    w("decode.4096_g8", "h=4,g=8,sk=4096,d=128,dv=128", GGML),
    w("decode.16384", "h=8,sk=16384,d=64,dv=64", GGML),
    w("decode.16384_g4", "h=2,g=4,sk=16384,d=128,dv=128", GGML),
    w("llama4.decode8190", "g=5,sk=8190,d=128,dv=128", LLAMA4),
    w("llama4.decode4x4096", "g=5,sq=4,sk=4096,d=128,dv=128,causal=bottom", LLAMA4),
    w("burn", "h=4,sq=2048,sk=2048,d=128,dv=128", "burn-bench"),
    w("sd1x.self", "h=2,sq=4096,sk=4096,d=40,dv=40", "XNNPACK sd1x_diffusion_bgemm, 2 of 8"),
    w("sd1x.cross", "h=8,sq=4096,sk=77,d=40,dv=40", "XNNPACK sd1x_diffusion_bgemm"),
    w("s128", "h=4,sq=128,sk=128,d=64,dv=64", SWEEP),
    w("s512", "h=4,sq=512,sk=512,d=64,dv=64", SWEEP),
    w("s1024", "h=4,sq=1024,sk=1024,d=64,dv=64", SWEEP),
    w("s2048", "h=2,sq=2048,sk=2048,d=64,dv=64", SWEEP),
    w("s2048_causal", "h=2,sq=2048,sk=2048,d=64,dv=64,causal=top", SWEEP),
    w("s4096", "sq=4096,sk=4096,d=64,dv=64", SWEEP),
];

/// Of `attention_backward`.
pub static ATTENTION_BACKWARD: &[Workload] = &[
    w("small.ci", "h=2,sq=8,sk=8,d=16,dv=16", BENCHDNN).smoke(),
    w("small.ci_causal", "h=2,sq=8,sk=8,d=16,dv=16,causal=top,mask=add", BENCHDNN).smoke(),
    w("bert_base.train", "n=4,h=12,sq=128,sk=128,d=64,dv=64,lengths=given", "TorchBench BertForMaskedLM, 4 of 64"),
    w("bert.384", "h=12,sq=384,sk=384,d=64,dv=64", BENCHDNN),
    w("gpt2.512", "h=12,sq=512,sk=512,d=64,dv=64,causal=top", "TorchBench, one of 4"),
    w("llama3_8b.384", "h=8,g=4,sq=384,sk=384,d=128,dv=128,causal=top", BENCHDNN),
    w("s512", "h=4,sq=512,sk=512,d=64,dv=64", SWEEP),
    w("s1024", "h=2,sq=1024,sk=1024,d=64,dv=64", SWEEP),
    w("s1024_d128", "h=2,sq=1024,sk=1024,d=128,dv=128", SWEEP),
];
