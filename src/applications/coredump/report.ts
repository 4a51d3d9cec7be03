/**
 * What is dumped: Node's diagnostic report, without the environment, which may hold secrets.
 */

/** What `process.report` has on Node versions newer than its types here. */
interface ReportSettings {
  excludeNetwork?: boolean
}

/**
 * @param error whose stack is told
 * @returns the report of this process and its threads
 */
export function diagnosticReport(error: Error | undefined): object {
  const { report } = process
  if (report === undefined) return { javascriptStack: { message: String(error), stack: [error?.stack] } }
  const settings = report as typeof report & ReportSettings
  const before = settings.excludeNetwork
  // The names of all peers would be looked up, for which a process that dies has no time.
  if (before !== undefined) settings.excludeNetwork = true
  try {
    return report.getReport(error) as object
  } finally {
    if (before !== undefined) settings.excludeNetwork = before
  }
}

/** A report as bytes; what has a JSON form loses every `environmentVariables` in it. */
export function reportBytes(report: string | Uint8Array | object): Uint8Array {
  if (typeof report === 'string') return Buffer.from(report)
  if (report instanceof Uint8Array) return report
  const text = JSON.stringify(report, (key, value) => (key === 'environmentVariables' ? undefined : value), 2)
  return Buffer.from(`${text}\n`)
}
