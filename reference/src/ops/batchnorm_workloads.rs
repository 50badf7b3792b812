//! Batch normalisations of real networks and suites.

use crate::Workload;

const fn w(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source)
}

const fn smoke(name: &'static str, point: &'static str, source: &'static str) -> Workload {
    Workload::new(name, point, source).smoke()
}

const RESNET: &str = "oneDNN benchdnn inputs, TorchBench operator logs";
const BENCHDNN: &str = "oneDNN benchdnn inputs";
const TORCHBENCH: &str = "TorchBench operator logs";
/// A batch of small planes that are no multiple of a vector, by pixels, with a residual.
const COMPOSED: &str = "composed for the suite";
const OP_BENCH: &str = "PyTorch operator benchmark";

/// What benchmarks of `batchnorm_relu` time.
pub static FORWARD: &[Workload] = &[
    smoke("resnet50.bn_conv1_n1", "n=1,c=64,h=112,w=112", RESNET),
    w("resnet50.bn_conv1_n32", "n=32,c=64,h=112,w=112", RESNET),
    w("resnet50.bn2_n1", "n=1,c=64,h=56,w=56", RESNET),
    w("resnet50.bn2c_n1", "n=1,c=256,h=56,w=56", RESNET),
    smoke("resnet50.bn2c_n32", "n=32,c=256,h=56,w=56", RESNET),
    w("resnet50.bn3_n4", "n=4,c=128,h=28,w=28", RESNET),
    w("resnet50.bn3c_n4", "n=4,c=512,h=28,w=28", RESNET),
    w("resnet50.bn4_n4", "n=4,c=256,h=14,w=14", RESNET),
    w("resnet50.bn4c_n32", "n=32,c=1024,h=14,w=14", RESNET),
    w("resnet50.bn5_n2", "n=2,c=512,h=7,w=7", RESNET),
    w("resnet50.bn5c_n32", "n=32,c=2048,h=7,w=7", RESNET),
    w("resnet50.bn2c_add_n4", "n=4,c=256,h=56,w=56,residual=add", RESNET),
    smoke("resnet50.bn_conv1_n1_infer", "mode=infer,n=1,c=64,h=112,w=112", RESNET),
    w("resnet50.bn2c_n32_infer", "mode=infer,n=32,c=256,h=56,w=56", RESNET),
    w("resnet50.bn4c_n1_infer", "mode=infer,n=1,c=1024,h=14,w=14", RESNET),
    w("resnet50.bn_conv1_n1_nhwc", "n=1,c=64,h=112,w=112,layout=nhwc", RESNET),
    w("resnet50.bn2c_n32_nhwc", "n=32,c=256,h=56,w=56,layout=nhwc", RESNET),
    w("resnet50.bn5c_n4_nhwc", "n=4,c=2048,h=7,w=7,layout=nhwc", RESNET),
    w("resnet50.bn2c_n32_nhwc_infer", "mode=infer,n=32,c=256,h=56,w=56,layout=nhwc", RESNET),
    w("googlenet_v2.4a_n4", "n=4,c=224,h=14,w=14", BENCHDNN),
    w("googlenet_v3.conv_2_2_n4", "n=4,c=64,h=147,w=147", BENCHDNN),
    w("googlenet_v3.conv_4_4_n4", "n=4,c=192,h=71,w=71", BENCHDNN),
    w("googlenet_v3.mixed_5_n32", "n=32,c=160,h=17,w=17", BENCHDNN),
    w("googlenet_v3.mixed_9_n32", "n=32,c=384,h=8,w=8", BENCHDNN),
    w("mobilenet_v2.first_n2", "n=2,c=32,h=112,w=112", TORCHBENCH),
    w("mobilenet_v2.expand_n32", "n=32,c=576,h=14,w=14", TORCHBENCH),
    smoke("composed.n12_nhwc_add", "n=12,c=45,h=13,w=11,layout=nhwc,residual=add", COMPOSED),
    w("op_bench.256x3136", "n=1,c=256,h=3136,w=1", OP_BENCH),
    w("op_bench.3136x256", "n=3136,c=256", OP_BENCH),
];

/// What benchmarks of `batchnorm_relu_backward` time.
pub static BACKWARD: &[Workload] = &[
    smoke("resnet50.bn_conv1_n1", "n=1,c=64,h=112,w=112", RESNET),
    smoke("resnet50.bn2c_n32", "n=32,c=256,h=56,w=56", RESNET),
    w("resnet50.bn3c_n4", "n=4,c=512,h=28,w=28", RESNET),
    w("resnet50.bn4_n4", "n=4,c=256,h=14,w=14", RESNET),
    w("resnet50.bn5c_n32", "n=32,c=2048,h=7,w=7", RESNET),
    w("resnet50.bn2c_add_n4", "n=4,c=256,h=56,w=56,residual=add", RESNET),
    w("resnet50.bn_conv1_n1_nhwc", "n=1,c=64,h=112,w=112,layout=nhwc", RESNET),
    w("resnet50.bn2c_n32_nhwc", "n=32,c=256,h=56,w=56,layout=nhwc", RESNET),
    smoke("composed.n12_add", "n=12,c=45,h=13,w=11,residual=add", COMPOSED),
    w("googlenet_v3.conv_4_4_n4", "n=4,c=192,h=71,w=71", BENCHDNN),
    w("mobilenet_v2.expand_n32", "n=32,c=576,h=14,w=14", TORCHBENCH),
    w("op_bench.3136x256", "n=3136,c=256", OP_BENCH),
];
