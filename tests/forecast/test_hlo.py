"""Reading compiled programs: a text written by hand, whose counts are known."""

from ganzoo.forecast.counts import counts_of, kernels_of
from ganzoo.forecast.hlo import arrays, parse

TEXT = """HloModule m, is_scheduled=true

%body (p: (s32[], f32[64,64])) -> (s32[], f32[64,64]) {
  %p = (s32[], f32[64,64]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[64,64]{1,0} get-tuple-element(%p), index=1
  %dot.1 = f32[64,64]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}, metadata={op_name="a(b)"}
  ROOT %t = (s32[], /*index=1*/f32[64,64]{1,0}) tuple(%i, %dot.1)
}

%condition (q: (s32[], f32[64,64])) -> pred[] {
  %q = (s32[], f32[64,64]{1,0}) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %most = s32[] constant(5)
  ROOT %less = pred[] compare(%j, %most), direction=LT
}

%inside (a: f32[1024,512], n: s32[]) -> f32[8,512] {
  %a = f32[1024,512]{1,0} parameter(0)
  %n = s32[] parameter(1)
  ROOT %rows = f32[8,512]{1,0} dynamic-slice(%a, %n, %n), dynamic_slice_sizes={8,512}
}

%turned (b: f32[1024,512]) -> f32[512,1024] {
  %b = f32[1024,512]{1,0:T(8,128)} parameter(0)
  ROOT %turn = f32[512,1024]{1,0:T(8,128)S(1)} transpose(%b), dimensions={1,0}
}

ENTRY %main (big: f32[1024,512], s: (s32[], f32[64,64])) -> f32[8,512] {
  %big = f32[1024,512]{1,0:T(8,128)} parameter(0)
  %s = (s32[], f32[64,64]{1,0}) parameter(1)
  %loop = (s32[], f32[64,64]{1,0}) while(%s), condition=%condition, body=%body
  %zero = s32[] constant(0)
  %fast = f32[512,1024]{1,0:T(8,128)S(1)} fusion(%big), kind=kLoop, calls=%turned, backend_config={"estimated_cycles":"700"}
  %sum.1 = f32[1024,512]{1,0} all-reduce-start(%big), channel_id=3, replica_groups={}, to_apply=%add
  %sum.2 = f32[1024,512]{1,0} all-reduce-done(%sum.1)
  ROOT %part = f32[8,512]{1,0} fusion(%sum.2, %zero), kind=kLoop, calls=%inside
}
"""  # noqa: E501
BIG, PART, SQUARE = 1024 * 512 * 4, 8 * 512 * 4, 64 * 64 * 4


def test_counts_are_those_of_the_text() -> None:
    program = parse(TEXT)
    kernels = {kernel.name: kernel for kernel in kernels_of(program)}
    found = counts_of(program, list(kernels.values()))
    assert (found.loops, found.products, found.convolutions) == (1, 5, 0)
    assert found.flops == 5 * 2 * 64**3
    assert (found.layout_changes, found.layout_bytes) == (1, BIG)
    assert (found.collectives, found.collective_bytes) == (1, BIG)
    assert kernels["dot.1"].times == 5
    assert kernels["fast"].cycles == 700


def test_bytes_are_those_that_move_in_the_main_memory() -> None:
    kernels = {kernel.name: kernel for kernel in kernels_of(parse(TEXT))}
    assert kernels["dot.1"].stored == 2 * SQUARE  # the operand is read once
    assert kernels["fast"].stored == BIG  # the result is kept in the fast memory
    assert kernels["part"].stored == 2 * PART + 4  # of a slice, what is in it, and its index


def test_a_loop_that_the_compiler_knows_turns_so_often() -> None:
    known = TEXT.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"9"}}')
    assert {kernel.times for kernel in kernels_of(parse(known)) if kernel.name == "dot.1"} == {9}


def test_types_have_their_sizes() -> None:
    sizes = [array.size for array in arrays("(bf16[3,5]{1,0:T(8,128)(2,1)}, pred[7], s4[8], f32[])")]
    assert sizes == [30, 7, 4, 4]


GRADIENT = """HloModule g

ENTRY %main (x: f32[8,8,8,256], y: f32[8,4,4,512]) -> f32[4,4,256,512] {
  %x = f32[8,8,8,256]{3,0,2,1:T(8,128)} parameter(0)
  %y = f32[8,4,4,512]{3,0,2,1:T(8,128)} parameter(1)
  %start = ((f32[8,4,4,512]{3,0,2,1}), f32[2,4,4,512]{3,0,2,1:S(1)}, s32[]{:S(2)}) slice-start(%y), slice={[0:2]}
  %done = f32[2,4,4,512]{3,0,2,1:S(1)} slice-done(%start)
  ROOT %g = f32[4,4,256,512]{3,2,1,0} convolution(%x, %y), window={size=4x4 pad=1_1x1_1 rhs_dilate=2x2}, dim_labels=f01b_i01o->01bf
}
"""  # noqa: E501


def test_the_channels_of_a_gradient_are_those_of_its_kernel() -> None:
    kernels = {kernel.name: kernel for kernel in kernels_of(parse(GRADIENT))}
    (product,) = kernels["g"].products
    assert product.channels == (256, 512)
    assert product.flops == 2 * (4 * 4 * 256 * 512) * (8 * 4 * 4)


def test_a_slice_that_is_fetched_ahead_counts_once() -> None:
    kernels = {kernel.name: kernel for kernel in kernels_of(parse(GRADIENT))}
    assert "start" not in kernels
    assert kernels["done"].stored == 2 * 4 * 4 * 512 * 4
