import { launch } from './launch-protocol.js'
import { testProtocol } from './test-protocol.js'

testProtocol(launch)
