import { completion } from './protocols.js'
import { testProtocol } from './test-protocol.js'

testProtocol(completion)
