/** RMSNorm against the float64 reference, forward and backward, both variants. */
import { normCases } from "../cases/norm.ts";
import { testCases } from "../harness.ts";

testCases(normCases);
