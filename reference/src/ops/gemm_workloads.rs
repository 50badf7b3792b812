//! GEMM shapes of real networks and suites.

use crate::Cache::ColdWeights;
use crate::{Types, Workload};

/// In f32 and f64.
const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source).in_types(&[Types::F32, Types::F64])
}

const fn smoke(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    w(name, point, source).smoke()
}

/// In every type.
const fn sweep(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const SWEEP: &str = "size sweep";
const DEEPBENCH: &str = "DeepBench";
const BENCHDNN: &str = "oneDNN benchdnn inputs";
const TORCHBENCH: &str = "TorchBench operator logs";
/// β, longer lines, transposed operands and batches, which the shapes of networks alone do not have.
const COMPOSED: &str = "composed for the suite";

/// What benchmarks time.
pub static WORKLOADS: &[Workload] = &[
    smoke("square.8", "m=8,n=8,k=8", SWEEP),
    w("square.16", "m=16,n=16,k=16", SWEEP),
    smoke("square.32", "m=32,n=32,k=32", SWEEP),
    sweep("square.64", "m=64,n=64,k=64", SWEEP).smoke(),
    w("square.65", "m=65,n=65,k=65", SWEEP),
    w("square.96", "m=96,n=96,k=96", SWEEP),
    sweep("square.128", "m=128,n=128,k=128", SWEEP),
    w("square.192", "m=192,n=192,k=192", SWEEP),
    sweep("square.256", "m=256,n=256,k=256", SWEEP).smoke(),
    w("square.384", "m=384,n=384,k=384", SWEEP),
    sweep("square.512", "m=512,n=512,k=512", SWEEP).smoke(),
    w("square.1000", "m=1000,n=1000,k=1000", SWEEP),
    sweep("square.1024", "m=1024,n=1024,k=1024", SWEEP),
    w("square.512-relu", "m=512,n=512,k=512,bias=row,act=relu", SWEEP),
    w("square.512-gelu", "m=512,n=512,k=512,bias=row,act=gelu", SWEEP),
    w("square.512-nt", "m=512,n=512,k=512,b=t", SWEEP),
    w("square.512-tn", "m=512,n=512,k=512,a=t", SWEEP),
    sweep("bert.512x3072x768", "m=512,n=3072,k=768", TORCHBENCH),
    w("bert.512x768x3072", "m=512,n=768,k=3072", TORCHBENCH),
    w("bert_base.qkv_fused", "m=128,n=2304,k=768", BENCHDNN),
    w("bert_base.attn_out", "m=128,n=768,k=768", BENCHDNN),
    sweep("bert_base.ffn_up", "m=128,n=3072,k=768", BENCHDNN),
    w("bert_base.ffn_down", "m=128,n=768,k=3072", BENCHDNN),
    w("deepbench.35x700", "m=35,n=700,k=2048", DEEPBENCH),
    w("deepbench.rnn_h1760_b128", "m=1760,n=128,k=1760", DEEPBENCH),
    w("deepbench.rnn_h1760_b16", "m=1760,n=16,k=1760", DEEPBENCH),
    w("deepbench.35x8457", "m=35,n=8457,k=1760", DEEPBENCH),
    w("deepbench.7680x1", "m=7680,n=1,k=2560", DEEPBENCH).met(ColdWeights),
    w("deepbench.3072x1", "m=3072,n=1,k=1024", DEEPBENCH).met(ColdWeights),
    w("deepbench.64x1", "m=64,n=1,k=1216", DEEPBENCH),
    sweep("llama7b.wo_decode", "m=1,n=4096,k=4096", TORCHBENCH).met(ColdWeights),
    w("llama7b.wo_decode8", "m=8,n=4096,k=4096", TORCHBENCH).met(ColdWeights),
    w("llama7b.wo_decode_nt", "m=1,n=4096,k=4096,b=t", TORCHBENCH).met(ColdWeights),
    w("resnet50.fc", "m=1,n=1000,k=2048", BENCHDNN).met(ColdWeights),
    w("dlrm.3", "m=1,n=1024,k=479", BENCHDNN).met(ColdWeights),
    w("ncf.3", "k=128", BENCHDNN),
    w("rten.mix.wide", "m=128,n=2048,k=512", "rten bench_gemm_mix"),
    w("rten.mix.tall", "m=2048,n=128,k=512", "rten bench_gemm_mix"),
    w("gemm_rs.skinny", "m=16,n=16,k=6144", "gemm crate bench.rs"),
    smoke("composed.add_96x130x260", "m=96,n=130,k=260,beta=1,bias=row", COMPOSED),
    w("composed.add_512x768x768", "m=512,n=768,k=768,beta=1", COMPOSED),
    smoke("composed.padded_tt_batch3", "m=65,n=97,k=129,batch=3,a=t,b=t,lda=7,ldb=9,ldc=3,alpha=2,beta=0.5", COMPOSED),
    w("composed.padded_384x384x1024", "m=384,n=384,k=1024,lda=16,ldb=16,ldc=16,alpha=0.5,beta=-1", COMPOSED),
    w("composed.shared_b_batch8", "m=64,n=256,k=256,batch=8,share=b,beta=-1,act=relu", COMPOSED),
    w("composed.strided_vector_batch4", "m=1,n=1024,k=1024,batch=4,b=t,ldb=8,beta=1", COMPOSED),
    w("attention.bmm", "m=128,n=128,k=64,batch=12,b=t", "TorchBench BertForMaskedLM"),
];
