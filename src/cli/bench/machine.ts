/**
 * What figures were taken on: without it they say nothing.
 */
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'

const GIGABYTE = 2 ** 30

export interface Machine {
  readonly node: string
  readonly system: string
  readonly processors: number
  readonly model: string
  readonly gigabytes: number
}

export function machine(): Machine {
  return {
    node: process.versions.node,
    system: `${type()} ${release()}`,
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown',
    gigabytes: Math.round(totalmem() / GIGABYTE),
  }
}

export const machineLine = ({ node, system, processors, model, gigabytes }: Machine): string =>
  `Node ${node}, ${system}, ${processors} × ${model}, ${gigabytes} GB`
